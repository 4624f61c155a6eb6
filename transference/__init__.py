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

import lazy_loader

# The names stand in __init__.pyi, each with the file that defines it. A file is imported when one of its names is first asked for: torch
# takes a second or two, ``--help`` does without.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
