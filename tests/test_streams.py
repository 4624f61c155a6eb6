import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from transference._streams import Stream

GOLDEN = [8, 5, 1, 7]


def test_golden_choice():
    assert Stream("golden", 1).choice(10, 4) == GOLDEN


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_same_numbers_in_a_fresh_process(seed):
    code = "from transference._streams import Stream; print(Stream('golden', 1).choice(10, 4))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
    )
    assert out.stdout.strip() == str(GOLDEN)


def test_addresses_do_not_share_numbers():
    draws = {tuple(Stream("a", i).uniform(0, 1, (4,))) for i in range(100)} | {
        tuple(Stream("b", i).uniform(0, 1, (4,))) for i in range(100)
    }
    assert len(draws) == 200
    assert Stream("1", "2").below(2**40) != Stream("12").below(2**40)


def test_below_and_choice_are_uniform():
    draws = np.array([Stream("uniform", i).choice(5, 2) for i in range(4000)])
    assert (draws[:, 0] != draws[:, 1]).all()
    for column in draws.T:
        assert stats.chisquare(np.bincount(column, minlength=5)).pvalue > 1e-3


def test_uniform_and_normal_have_their_distributions():
    assert stats.kstest(Stream("u").uniform(2.0, 5.0, (5000,)), stats.uniform(2, 3).cdf).pvalue > 1e-3
    assert stats.kstest(Stream("n").normal((5000,)), stats.norm.cdf).pvalue > 1e-3


def test_below_rejects_what_a_remainder_would_favour():
    class Bits:
        draws = iter([2**64 - 1, 2**64 - 6, 2**64 - 7])

        def random_raw(self):
            return next(self.draws)

    stream = Stream("stub")
    stream._bits = Bits()
    assert stream.below(10) == 9, "2**64 leaves 6 over: the last six raw values are drawn again"
