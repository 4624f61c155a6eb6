"""Which tasks help, and which hurt each other, in a meta-learner.

For a source task *i*, take one lookahead step ``θ_i = θ - α∇L_i`` on its loss after support-set adaptation. For a target task *j*, compare
its loss before and after: ``LR[i→j] = L_j(θ_i) / L_j(θ)``. Below 1 the update on *i* helped *j*, above 1 it hurt.

    import transference as tr

    checkpoints = [tr.load_checkpoint(path) for path in paths]      # safetensors or .pt; nothing is executed
    learner = tr.load_learner(checkpoints[0])                       # or any object with episode_loss(params, episode)
    sources = tr.few_shot("omniglot:train", data_root="data", ways=5, shots=1, queries=15, seed=1)
    targets = tr.few_shot("fc100:test", data_root="data", ways=5, shots=1, queries=15, seed=2)

    run = tr.measure(learner, checkpoints, sources, targets, n_source=300, n_target=20,
                     lookahead=tr.SGD(alpha=(1e-3, 1e-2)), estimator=tr.Exact(), out="runs/first")
    frame = run.pairs()                                             # pandas, one row per pair and step size
    matrix = run.matrix(step=20_000, alpha=1e-2)                    # [n_source, n_target] loss ratios
    table = tr.summarise(frame)                                     # shares of positive and negative transfer
"""

TYPE_CHECKING = False  # as in typing, whose import takes longer than all that is imported here
if TYPE_CHECKING:
    from transference.blocks import Block
    from transference.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
    from transference.datasets import ImageDataset, open_dataset
    from transference.episodes import Episode, Params
    from transference.errors import TransferenceError
    from transference.estimators import Calibrated, Estimator, Exact, FirstOrder, Readings
    from transference.learners import Learner, ModuleLearner, check_pure, load_learner
    from transference.lookahead import SGD, Adam, Lookahead, Outer, Source
    from transference.measurement import measure
    from transference.optimizers import OptimizerState
    from transference.samplers import FewShot, FunctionFamily, TaskRecord, TaskSampler, open_tasks
    from transference.samplers import few_shot as few_shot  # type: ignore[no-redef]  # a file has this name too
    from transference.spec import RunSpec, Tile
    from transference.statistics import (
        NEUTRAL_BAND,
        calibrate,
        check_estimates,
        classify,
        contrast,
        control_bands,
        intervals,
        single_pairs,
        split,
        summarise,
        summarise_blocks,
        variance_shares,
    )
    from transference.store import Run, Store, Verification, open_run, verify

__all__ = [  # noqa: RUF022 - a table of contents, by subject
    # The measurement
    "measure",
    "Run",
    "open_run",
    "Block",
    "verify",
    "Verification",
    # Its table, summarised
    "summarise",
    "summarise_blocks",
    "intervals",
    "contrast",
    "variance_shares",
    "single_pairs",
    "split",
    "control_bands",
    "calibrate",
    "check_estimates",
    "classify",
    "NEUTRAL_BAND",
    # Learners and their checkpoints
    "Learner",
    "ModuleLearner",
    "load_learner",
    "check_pure",
    "Checkpoint",
    "OptimizerState",
    "load_checkpoint",
    "save_checkpoint",
    # Tasks and what they are made of
    "Episode",
    "Params",
    "TaskSampler",
    "TaskRecord",
    "FewShot",
    "few_shot",
    "FunctionFamily",
    "open_tasks",
    "ImageDataset",
    "open_dataset",
    # Strategies
    "Outer",
    "Lookahead",
    "Source",
    "SGD",
    "Adam",
    "Estimator",
    "Exact",
    "FirstOrder",
    "Calibrated",
    "Readings",
    # What a run is made of
    "RunSpec",
    "Tile",
    "Store",
    # Errors
    "TransferenceError",
]

_HOMES = {
    "transference.blocks": ("Block",),
    "transference.checkpoints": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
    "transference.datasets": ("ImageDataset", "open_dataset"),
    "transference.episodes": ("Episode", "Params"),
    "transference.errors": ("TransferenceError",),
    "transference.estimators": ("Calibrated", "Estimator", "Exact", "FirstOrder", "Readings"),
    "transference.learners": ("Learner", "ModuleLearner", "check_pure", "load_learner"),
    "transference.lookahead": ("SGD", "Adam", "Lookahead", "Outer", "Source"),
    "transference.measurement": ("measure",),
    "transference.optimizers": ("OptimizerState",),
    "transference.spec": ("RunSpec", "Tile"),
    "transference.samplers": ("FewShot", "FunctionFamily", "TaskRecord", "TaskSampler", "few_shot", "open_tasks"),
    "transference.statistics": (
        "NEUTRAL_BAND",
        "calibrate",
        "check_estimates",
        "classify",
        "contrast",
        "control_bands",
        "intervals",
        "single_pairs",
        "split",
        "summarise",
        "summarise_blocks",
        "variance_shares",
    ),
    "transference.store": ("Run", "Store", "Verification", "open_run", "verify"),
}
"""Where each of these is defined. It is imported when it is first asked for: torch takes a second or two, ``--help`` does without."""


def __getattr__(name: str) -> object:
    """Import a public name.

    Raises:
        AttributeError: there is no such name.
    """
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
