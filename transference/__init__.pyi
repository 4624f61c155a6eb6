"""The public names, and where each is defined: the only list of them."""

from . import (
    figures as figures,
    validation as validation,
)

from .blocks import (
    Block as Block,
    Strip as Strip,
    Strips as Strips,
)
from .checkpoints import (
    Checkpoint as Checkpoint,
    load_checkpoint as load_checkpoint,
    save_checkpoint as save_checkpoint,
)
from .combine import (
    Combination as Combination,
    MGDA as MGDA,
    Mean as Mean,
    PCGrad as PCGrad,
    Precision as Precision,
    SmoothWorst as SmoothWorst,
    Sum as Sum,
    Together as Together,
    Uniform as Uniform,
)
from .datasets import (
    ImageDataset as ImageDataset,
    open_dataset as open_dataset,
)
from .episodes import (
    Episode as Episode,
    Params as Params,
)
from .errors import (
    TransferenceError as TransferenceError,
)
from .estimators import (
    Calibrated as Calibrated,
    Estimator as Estimator,
    Exact as Exact,
    FirstOrder as FirstOrder,
    Quadratic as Quadratic,
    Readings as Readings,
)
from .explore import (
    ExploreOptions as ExploreOptions,
    Explorer as Explorer,
)
from .learners import (
    Learner as Learner,
    ModuleLearner as ModuleLearner,
    check_pure as check_pure,
    load_learner as load_learner,
)
from .lookahead import (
    Adam as Adam,
    Lookahead as Lookahead,
    ModeLookahead as ModeLookahead,
    Normalised as Normalised,
    Outer as Outer,
    SGD as SGD,
    Source as Source,
)
from .measurement import (
    measure as measure,
)
from .optimizers import (
    OptimizerState as OptimizerState,
)
from .samplers import (
    FewShot as FewShot,
    FunctionFamily as FunctionFamily,
    PairedFewShot as PairedFewShot,
    TaskRecord as TaskRecord,
    TaskSampler as TaskSampler,
    few_shot as few_shot,
    open_tasks as open_tasks,
)
from .spec import (
    RunSpec as RunSpec,
    Tile as Tile,
)
from .statistics import (
    NEUTRAL_BAND as NEUTRAL_BAND,
    calibrate as calibrate,
    check_estimates as check_estimates,
    classify as classify,
    compare_modes as compare_modes,
    contrast as contrast,
    control_bands as control_bands,
    intervals as intervals,
    predicted_rows as predicted_rows,
    rank_modes as rank_modes,
    single_pairs as single_pairs,
    split as split,
    split_confidence as split_confidence,
    summarise as summarise,
    summarise_blocks as summarise_blocks,
    variance_shares as variance_shares,
)
from .store import (
    Run as Run,
    Store as Store,
    Verification as Verification,
    open_run as open_run,
    verify as verify,
)
from .watch import (
    Watch as Watch,
)
