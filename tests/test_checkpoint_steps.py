"""The step of a checkpoint: what the file says, else what the name marks, never digits of something else."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

import transference as tr
from tests.strangers import PixelPrototypes
from transference.checkpoints.steps import step_in_name, step_of
from transference.cli import main
from transference.errors import UsageError
from transference.measurement import make_spec

MARKED = {
    "step_5000.pt": 5000,
    "step=5000.ckpt": 5000,
    "STEP500.pt": 500,
    "step-00000020.safetensors": 20,
    "iter-1000.pt": 1000,
    "model_iter1000.pth": 1000,
    "modelIter1000.pt": 1000,
    "iteration_2000.pt": 2000,
    "net_it500.pt": 500,
    "ckpt-500": 500,
    "best_checkpoint_500.pt": 500,
    "model.ckpt-5000": 5000,
    "checkpoint_1000.pt": 1000,
    "checkpoint-1000/pytorch_model.bin": 1000,
    "checkpoint-1000/model-00001-of-00002.safetensors": 1000,
    "global_step1000/mp_rank_00_model_states.pt": 1000,
    "iter_0010000/mp_rank_00/model_optim_rng.pt": 10_000,
    "step_5000/seed_3.pt": 5000,
    "epoch=3-step=1200.ckpt": 1200,
    "epoch=3-step=1200-v1.ckpt": 1200,
    "step10k.pt": 10_000,
    "10K_steps.pt": 10_000,
    "model_60000steps.pt": 60_000,
    "step_5000_acc_87.53.pt": 5000,
    "checkpoint_3_5000.pt": 5000,
    "checkpoint_2023-11-05_step_700.pt": 700,
    "lr1e-3_step_200.pt": 200,
    "seed0-step100.pt": 100,
}
AT_THE_END = {
    "net_5000.pt": 5000,
    "net-5000.pt": 5000,
    "net.5000.pt": 5000,
    "5000.pt": 5000,
    "0001000.pt": 1000,
    "500k.pt": 500_000,
    "net_10k.pt": 10_000,
    "model-20k.pt": 20_000,
    "net_5000.pth.tar": 5000,
    "net_5000.model.safetensors": 5000,
    "net_5000.ckpt.pt": 5000,
    "model_0004999.pth": 4999,
    "model_87.pt": 87,
    "weights.10.pt": 10,
    "state_5000.pt": 5000,
    "my_model_300.pt": 300,
    "resnet18_weights_300.pt": 300,
    "maml_conv_1.pt": 1,
    "maml_conv_1000.pt": 1000,
    "model_gatedconv_30000.pt": 30_000,
    "maml_5000.pt": 5000,
    "maml_net_70.pt": 70,
    "n_1.pt": 1,
    "mine_twice_1.pt": 1,
    "numstep5.updatelr0.01/model15999.pt": 15_999,
    "maml_5way_1shot_60000.pt": 60_000,
    "protonet_20231105_5000.pt": 5000,
}
OTHER = """
    net_resnet18.pt resnet_18.pt resnet-12.pt conv4.pt maml_conv4.pt conv4_64.pt wrn_28_10.pt WRN-28-10.pt wrn28_10.pt vit_b_16.pt
    ViT-B-32.pt vit_base_patch16_224.pt swin_t_4_7.pt densenet121.pt efficientnet_b0.pt gpt2.pt dim_64.pt net_bs16.pt mini_imagenet_84.pt
    ResNet-12.pt DenseNet-121.pt ConvNet-64.pt Conv-4.pt Conv-4-64.pt conv_net_4.pt res_net_50.pth Dense-Net-121.pt cnn_64.pt
    wide_resnet50_2.pt mobilenet_v3_large_100.pt swin_base_patch4_window7_224.pth ShuffleNet_1.pt GoogLeNet-1.pt resnet18_5000.pt
    net_cifar_100.pt cub_200_2011.pt imagenet_1k.pt in21k.pt omniglot_28.pt flowers_102.pt ImageNet-1k.pt maml_cub_200_2011.pt
    maml_5w1s.pt maml_5way_1shot.pt maml_5way_1.pt shots_5.pt ways_5.pt nway_5.pt maml_5.pt maml_64.pt maml_1024.pt protonet_2017.pt
    acc_87.53.pt best_acc0.91.pt best_acc_91.pt top1_76.pt val_loss=0.32.ckpt best_87.5.pt checkpoint_acc_91.pt dice_91.pt iou_75.pt
    valacc_87.pt acc_87_53.pth val_acc_0_8753.pt loss_0_31.pt best-62.pt best_model_62.pt model_best_62.pth 0.6312.pt
    lr1e-3.pt net_lr0.001.pt net_1e-4.pt 1e-3.pt net_0.5.pt inner_steps_5.pt inner-steps=5.pt maml_5step.pt maml_num_steps_5.pt
    num_params_1000000.pt emb_512.pt crop_84.pt t_1000.pt iter_per_epoch_100.pt step_1_000.pt steps_1,000.pt model_1_5.pt
    seed_3.pt seed3.pt seed=3.pt fold_2.pt run_7.pt rank0.pt model-00001-of-00002.safetensors net(1).pt model_v2.pt model_v_2.pt
    seed_1.pt fold_1.pt run_1.pt squeezenet_1.pt
    checkpoint_v2.pt net.mp3 resnet18-f37072fd.pth resnet50-19c8e357.pth net_a1b2c3.pt latest_net_G.pth best.pt model.pt
    83920174.pt resnet18-12345678.pth model-12345678.pth 1234567890123.pt 20231105.pt
    net_2023-11-05.pt net_20231105.pt net_2023-11-05_12-30-01.pt net_20231105-123001.pt net_05.11.2023.pt net_1698765432.pt
    checkpoint_20231105.pt checkpoint_2023-11-05.pt ckpt_1698765432.pt snapshot_resnet18.pt step_99999999999999999999.pt
"""


@pytest.mark.parametrize(("name", "step"), MARKED.items())
def test_a_number_that_the_name_marks_is_the_step(name, step):
    found = step_in_name(Path(name))
    assert found.step == step
    assert "tells it" in found.origin


@pytest.mark.parametrize(("name", "step"), AT_THE_END.items())
def test_a_number_at_the_end_is_the_step_and_said_to_be_unmarked(name, step):
    found = step_in_name(Path(name))
    assert found.step == step
    assert "nothing marks" in found.origin


@pytest.mark.parametrize("name", OTHER.split())
def test_digits_of_something_else_are_no_step(name):
    assert step_in_name(Path(name)) is None
    assert step_of({}, Path(name)).step == 0


@pytest.mark.parametrize(
    "name", ["epoch_10.pt", "epoch=10-val_loss=0.32.ckpt", "ep10.pt", "net_epoch-10.pth.tar", "model_10epochs.pt"]
)
def test_an_epoch_is_a_step_where_there_is_no_other_and_said_to_be_one(name):
    found = step_of({}, Path(name))
    assert (found.step, "an epoch and no step" in found.origin) == (10, True)


@pytest.mark.parametrize(
    ("beside", "name", "step", "origin"),
    [
        ({"iteration": 5000, "epoch": 3}, "net_7.pt", 5000, "the file says iteration 5000"),
        ({"global_step": 1200, "epoch": 3}, "last.ckpt", 1200, "the file says global_step 1200"),
        ({"meta": {"iter": 800, "epoch": 2}}, "latest.pth", 800, "the file says iter 800"),
        ({"step": torch.tensor(300)}, "x.pt", 300, "the file says step 300"),
        ({"epoch": 3}, "net_1200.pt", 1200, "which nothing marks"),
        ({"epoch": 3}, "best.pt", 3, "the file says epoch 3"),
        ({"step": -1, "iter": True, "it": "many"}, "best.pt", 0, "neither"),
    ],
)
def test_what_the_file_says_comes_first(tmp_path, beside, name, step, origin):
    torch.save({"model": {"w": torch.ones(2)}, **beside}, tmp_path / name)
    loaded = tr.load_checkpoint(tmp_path / name)
    assert loaded.step == step
    assert origin in loaded.step_from


def test_metadata_of_safetensors_are_what_the_file_says(tmp_path):
    safetensors.torch.save_file(
        {"w": torch.ones(2)}, tmp_path / "net_3.safetensors", metadata={"step": "4000", "format": "pt"}
    )
    assert tr.load_checkpoint(tmp_path / "net_3.safetensors").step == 4000


def test_a_tensor_called_step_in_a_plain_state_dict_is_no_step(tmp_path):
    torch.save({"w": torch.ones(2), "step": torch.tensor(9.0)}, tmp_path / "net_3.pt")
    assert tr.load_checkpoint(tmp_path / "net_3.pt").step == 3


def test_a_step_of_our_own_is_not_inferred(tmp_path):
    tr.save_checkpoint(tr.Checkpoint({"w": torch.ones(2)}, 7), tmp_path / "net_3.pt")
    loaded = tr.load_checkpoint(tmp_path / "net_3.pt")
    assert (loaded.step, loaded.step_from) == (7, None)


def test_two_checkpoints_of_one_step_are_refused_with_the_way_out(sources, targets):
    two = [
        tr.Checkpoint(PixelPrototypes().init_params(0), 0, path=Path(name), step_from="guessed")
        for name in ("a.pt", "b.pt")
    ]
    with pytest.raises(
        UsageError,
        match=r"step 0 is given twice, by a.pt and b.pt \(guessed\).*--step N for each in turn, or --step b.pt=N",
    ):
        make_spec(
            PixelPrototypes(), two, [sources], [targets], n_source=1, n_target=1, step=tr.SGD(0.1), estimator=tr.Exact(),
            controls=0, device="cpu", precision="fp32", tile=(1, 1),
        )  # fmt: skip


@pytest.fixture
def two_files(tmp_path):
    for k, name in enumerate(("resnet18.pt", "resnet34.pt")):
        torch.save(PixelPrototypes().init_params(k), tmp_path / name)
    return [str(tmp_path / name) for name in ("resnet18.pt", "resnet34.pt")]


def compute(files, out, *options):
    command = [
        "compute",
        *files,
        "--learner",
        "tests.strangers:PixelPrototypes",
        "--source",
        "strokes:val",
        "--target",
        "shapes:val",
    ]
    small = ["--ways", "2", "--queries", "2", "--n-source", "1", "--n-target", "1", "--alpha", "0.1", "--dry-run"]
    return CliRunner().invoke(main, [*command, *small, "--out", str(out), *options])


@pytest.mark.parametrize(
    "options", [("--step", "100", "--step", "200"), ("--step", "{0}=100", "--step", "resnet34.pt=200")]
)
def test_steps_can_be_given(tmp_path, two_files, options):
    found = compute(two_files, tmp_path / "run", *(text.format(*two_files) for text in options))
    assert found.exit_code == 0, found.output
    assert f"{two_files[0]}: step 100 (given as --step)" in found.stderr
    assert f"{two_files[1]}: step 200 (given as --step)" in found.stderr


def test_a_path_may_be_written_in_other_ways(tmp_path, two_files, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    Path(two_files[1]).rename(tmp_path / "other" / "resnet18.pt")
    found = compute(
        ["resnet18.pt", "other/resnet18.pt"],
        "run",
        "--step",
        "./other/../resnet18.pt=1",
        "--step",
        "./other/resnet18.pt=2",
    )
    assert found.exit_code == 0, found.output
    assert "other/resnet18.pt: step 2 (given as --step)" in found.stderr
    assert (
        compute(
            ["resnet18.pt", "other/resnet18.pt"], "run", "--step", "resnet18.pt=1", "--step", "other/resnet18.pt=2"
        ).exit_code
        == 0
    )


def test_a_checkpoint_alone_needs_no_step(tmp_path, two_files):
    found = compute(two_files[:1], tmp_path / "run")
    assert found.exit_code == 0, found.output
    assert f"{two_files[0]}: step 0 (neither the file nor its name tells one; compute's --step does)" in found.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "The checkpoint step 0 is given twice"),
        (("--step", "1"), "was given with 2 checkpoints; give one number for each"),
        (("--step", "1", "--step", "b.pt=2"), "give one number for each"),
        (("--step", "1", "--step", "x"), "--step 'x' was given; a step is a number of updates"),
        (("--step", "b.pt=2"), "names 0 of the checkpoints"),
        (("--step", "1", "--step", "9" * 5000), "a step is a number of updates, from 0 to 9007199254740992"),
        (("--step", "1", "--step", str(2**53 + 1)), "a step is a number of updates, from 0 to 9007199254740992"),
        (("--step", "resnet18.pt=1", "--step", "resnet18.pt=2"), "was given twice for"),
        (
            ("--step", "resnet34.pt=2"),
            "resnet18.pt? Neither the file nor its name tells, and it is measured beside others. Give --step ",
        ),
    ],
)
def test_steps_that_do_not_fit_are_told(tmp_path, two_files, options, message):
    found = compute(two_files, tmp_path / "run", *options)
    assert found.exit_code == 2
    assert message in found.stderr


@pytest.mark.parametrize("step", ["9" * 5000, 2**70, 1e300], ids=["5000 digits", "an integer", "a float"])
def test_what_no_reader_could_hold_is_no_count(step, tmp_path):
    assert step_of({"step": step}, tmp_path / "net.pt").step == 0
