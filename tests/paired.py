"""Small paired data in the forms in which the real ones are distributed."""

from __future__ import annotations

import io

import numpy as np

from tests import originals as make

EXERCISES = ["PEN", "ABD", "ROW"]
VIEWS = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
HALVES = {"background_small1": ("Greek", "Sanskrit"), "background_small2": ("Greek", "Balinese")}


def watch(people=range(1, 11), length=230):
    """Recordings of every exercise by every person, of various lengths, two windows each."""
    rng = np.random.default_rng(0)
    pairs = [(person, y) for person in people for y in range(len(EXERCISES))]
    return {
        "X": [rng.normal(y, 2, (length + 10 * y, 6)) for _, y in pairs],
        "y": np.array([y for _, y in pairs]),
        "subject": np.array([person for person, _ in pairs]),
        "side": np.ones(len(pairs)),
        "X_labels": ["ax", "ay", "az", "wx", "wy", "wz"],
        "y_labels": EXERCISES,
    }


def saved(content):
    """What `numpy.save` writes of one Python object."""
    file = io.BytesIO()
    np.save(file, np.array(content, dtype=object), allow_pickle=True)
    return file.getvalue()


def watch_wheel(path, content):
    return make.write_zip(path, {"seglearn/__init__.py": b"", "seglearn/data/watch_dataset.npy": saved(content)})


def mfeat(per_digit=3):
    """Tables by view; digits are not in order, and the third column of every view is constant."""
    rng = np.random.default_rng(1)
    digits = rng.permutation(np.repeat(np.arange(10), per_digit))
    tables = {}
    for view, n in VIEWS.items():
        values = np.round(rng.normal(digits[:, None], 1, (len(digits), n)), 4)
        values[:, 2] = 0.1
        tables[view] = np.column_stack([values, digits])
    return tables


def as_csv(table):
    header = ",".join([*map(str, range(table.shape[1] - 1)), "0"])
    return "\n".join([header, *(",".join(map(repr, row)) for row in table.tolist())]).encode() + b"\n"


def mfeat_files(tables, folder=""):
    return {f"{folder}mfeat-{view}.csv": as_csv(table) for view, table in tables.items()}


def strokes(seed):
    """A stroke file of three strokes, one of a single point."""
    rng = np.random.default_rng(seed)
    lines = ["START"]
    for n in (9, 1, 5):
        lines += [f"{x:.6f},{-y:.6f},{k}" for k, (x, y) in enumerate(rng.uniform(0, 105, (n, 2)))]
        lines.append("BREAK")
    return "\n".join(lines).encode()


def omniglot_strokes(half, characters=2, drawings=3):
    """Images and strokes of one half by path, with what other systems leave beside them."""
    images, told = (
        {},
        {f"strokes_{half}/.DS_Store": b"", f"__MACOSX/strokes_{half}/Greek/character01/._0001_01.txt": b"x"},
    )
    for alphabet in HALVES[half]:
        for c in range(1, characters + 1):
            for d in range(1, drawings + 1):
                name = f"{alphabet}/character{c:02d}/{alphabet.encode()[0]:04d}_{d:02d}"
                seed = [*alphabet.encode(), c, d]
                drawing = make.noise(seed, (105, 105), 1).point(lambda value: 255 * (value > 30)).convert("1")
                images[f"images_{half}/{name}.png"] = make.encoded(drawing)
                told[f"strokes_{half}/{name}.txt"] = strokes(seed)
    return {f"images_{half}": images, f"strokes_{half}": told}
