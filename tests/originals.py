"""Small datasets in the forms in which the real ones are distributed, of random images."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

ALPHABETS = {
    "images_background": ("Greek", "Sanskrit"),
    "images_evaluation": ("Tibetan",),
    "images_background_small1": ("Greek", "Latin"),
    "images_background_small2": ("Greek", "Tagalog"),
}


def noise(seed, size=(20, 14), channels=3):
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def encoded(image, kind="PNG"):
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files):
    """Write a gzipped tar; folders are entries of their own, as tar makes them."""
    with tarfile.open(path, "w:gz") as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_folder(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def omniglot(half, characters=2, drawings=3):
    """Black ink on white, one bit a pixel."""
    files = {f"{half}/": b""}
    for alphabet in ALPHABETS[half]:
        for c in range(1, characters + 1):
            for d in range(1, drawings + 1):
                seed = [*alphabet.encode(), c, d]
                drawing = noise(seed, (105, 105), 1).point(lambda value: 255 * (value > 30)).convert("1")
                files[f"{half}/{alphabet}/character{c:02d}/{seed[0]:04d}_{d:02d}.png"] = encoded(drawing)
    return files


def mini_imagenet(per_class=3):
    """Three lists and the images of six classes, some grey, as in ImageNet."""
    classes = {"train": ("n01", "n02", "n03"), "val": ("n04",), "test": ("n05", "n06")}
    lists = {f"{split}.csv": "filename,label\n" for split in classes}
    images = {}
    for split, names in classes.items():
        for c, name in enumerate(names):
            for k in range(per_class):
                file = f"{name}{k:08d}.jpg"
                lists[f"{split}.csv"] += f"{file},{name}\n"
                images[f"images/{file}"] = encoded(noise([c, k, len(split)], channels=1 if k == 1 else 3), "JPEG")
    return {name: text.encode() for name, text in lists.items()}, images


CIFAR_NAMES = ("apple", "baby", "bear", "beaver", "aquarium_fish")


def cifar_batch(name, per_class=3):
    n = per_class * len(CIFAR_NAMES)
    rng = np.random.default_rng([*name.encode()])
    labels = [k % len(CIFAR_NAMES) for k in range(n)]
    data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
    return {"filenames": [f"{name}_{k}.png" for k in range(n)], "fine_labels": labels, "data": data}


def python2_pickle(content):
    """The bytes that Python 2's ``cPickle.dump(content, file, 2)`` writes, texts as byte strings, for what CIFAR's files hold."""

    def put(value):
        if isinstance(value, dict):
            return b"}(" + b"".join(put(key) + put(item) for key, item in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(put(item) for item in value) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(put(item) for item in value) + b"t"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, str):
            return b"T" + struct.pack("<i", len(value)) + value.encode("latin1")
        if value is None:
            return b"N"
        dtype = b"cnumpy\ndtype\n" + put(("u1", 0, 1)) + b"R" + put((3, "|", None, None, None, -1, -1, 0)) + b"b"
        array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + put((0,)) + put("b") + b"tR"
        return (
            array
            + b"("
            + put(1)
            + put(value.shape)
            + dtype
            + put(False)
            + put(value.tobytes().decode("latin1"))
            + b"tb"
        )

    return b"\x80\x02" + put(content) + b"."


def cifar100():
    files = {f"cifar-100-python/{name}": python2_pickle(cifar_batch(name)) for name in ("train", "test")}
    return {**files, "cifar-100-python/meta": python2_pickle({"fine_label_names": list(CIFAR_NAMES)})}


def cub(per_class=3):
    names = ("001.Black_footed_Albatross", "003.Sooty_Albatross", "015.Lazuli_Bunting", "199.Winter_Wren")
    files, images, labels = {}, "", ""
    number = 0
    for c, name in enumerate(names, start=1):
        for k in range(per_class):
            number += 1
            path = f"{name}/{name[4:]}_{k:04d}_{number}.jpg"
            images += f"{number} {path}\n"
            labels += f"{number} {c}\n"
            files[f"CUB_200_2011/images/{path}"] = encoded(noise([c, k], (50, 37), 1 if k == 2 else 3), "JPEG")
    lists = {
        "images.txt": images,
        "image_class_labels.txt": labels,
        "classes.txt": "".join(f"{c} {n}\n" for c, n in enumerate(names, 1)),
    }
    return {**files, **{f"CUB_200_2011/{name}": text.encode() for name, text in lists.items()}}


def aircraft(per_class=2):
    variants = ("707-320", "737-200", "BAE 146-200", "F-16A/B", "F/A-18", "Yak-42")
    files, number = {}, 34309
    for part in ("train", "val", "test"):
        text = ""
        for c, variant in enumerate(variants):
            for k in range(per_class):
                number += 7
                text += f"{number:07d} {variant}\n"
                files[f"fgvc-aircraft-2013b/data/images/{number:07d}.jpg"] = encoded(
                    noise([number, c, k], (60, 40)), "JPEG"
                )
        files[f"fgvc-aircraft-2013b/data/images_variant_{part}.txt"] = text.encode()
        files[f"fgvc-aircraft-2013b/data/images_family_{part}.txt"] = b"unused\n"
    files["fgvc-aircraft-2013b/data/images_variant_trainval.txt"] = b"unused\n"
    files["fgvc-aircraft-2013b/data/variants.txt"] = "".join(f"{name}\n" for name in variants).encode()
    return files
