"""Drawings of matplotlib written shorter, so that a page with many stays small. What they show is the same to a hundredth of a point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from xml.etree import ElementTree

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_MOVED = re.compile(r"translate\(([-\d.e]+) 0\)")
_STRAIGHT = re.compile(r"(?:[ML] [-\d.e]+ [-\d.e]+|z|\s)+")
_POINT = re.compile(r"([MLz])(?: ([-\d.e]+) ([-\d.e]+))?")
_REFERENCE = re.compile(r"#([\w.-]+)")

_Point = tuple[int, int]
"""In hundredths."""


def compact(svg: bytes) -> str:
    """Return a drawing without metadata, comments and names that nothing refers to, its numbers rounded to hundredths.

    Args:
        svg: as `transference.figures.as_svg` writes it.
    """
    ElementTree.register_namespace("", _SVG[1:-1])
    root = ElementTree.fromstring(svg)
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    for element in root.iter():
        element.text = element.tail = None if element.tag != f"{_SVG}style" else element.text
        if _HREF in element.attrib:  # plain href is SVG 2, which every browser of the last years reads
            element.set("href", element.attrib.pop(_HREF))
    _rename(root)
    for element in root.iter():
        _shorten(element)
    return ElementTree.tostring(_without_idle_groups(root), encoding="unicode").replace(" />", "/>")


def _rename(root: ElementTree.Element) -> None:
    """Give short ids to what is referred to, and none to the rest."""
    wanted = {name for one in root.iter() for value in one.attrib.values() for name in _REFERENCE.findall(value)}
    numbers = count()
    short = {one.get("id"): f"i{next(numbers)}" for one in root.iter() if one.get("id") in wanted}
    for element in root.iter():
        if (name := element.attrib.pop("id", None)) in short:
            element.set("id", short[name])
        for key, value in element.attrib.items():
            if "#" in value:
                element.set(key, _REFERENCE.sub(lambda found: f"#{short.get(found[1], found[1])}", value))


def _shorten(element: ElementTree.Element) -> None:
    """Write the numbers and the style of an element in fewer letters."""
    if element.tag == f"{_SVG}use" and (moved := _MOVED.fullmatch(element.get("transform", ""))):
        del element.attrib["transform"]
        element.set("x", moved[1])  # a letter in its line; x moves what is used just so
    for key in {"x", "y", "width", "height"} & element.attrib.keys():
        element.set(key, _NUMBER.sub(_rounded, element.attrib[key]))
    if "d" in element.attrib:
        element.set("d", _path(element.attrib["d"]))
    if "style" in element.attrib:
        element.set("style", re.sub(r"([:;]) ", r"\1", element.attrib["style"]))
    if "transform" in element.attrib:  # a scale keeps its digits
        shorter = re.sub(
            r"translate\([^)]*\)", lambda found: _NUMBER.sub(_rounded, found[0]), element.attrib["transform"]
        )
        element.set("transform", shorter)


def _rounded(number: re.Match[str]) -> str:
    return _written(round(100 * float(number[0])))


def _written(hundredths: int) -> str:
    """Return so many hundredths as a number."""
    return f"{hundredths / 100:g}" if abs(hundredths) < 10**6 else str(hundredths / 100)


def _path(d: str) -> str:
    """Return a path; one of straight lines without the points that lie on the way between their neighbours."""
    if not _STRAIGHT.fullmatch(d):
        return " ".join(_NUMBER.sub(_rounded, d).split())
    return "".join(_lines(points, closed) for points, closed in _polygons(d))


def _polygons(d: str) -> Iterator[tuple[list[_Point], bool]]:
    """Yield the parts of a path of straight lines, and whether each is closed."""
    points: list[_Point] = []
    for command, x, y in _POINT.findall(d):
        if points and command != "L":
            yield points, command == "z"
            points = []
        if command != "z":
            points.append((round(100 * float(x)), round(100 * float(y))))
    if points:
        yield points, False


def _lines(points: list[_Point], closed: bool) -> str:
    """Return one part of a path, each point by its distance from the one before."""
    kept: list[_Point] = []
    for point in points:
        while len(kept) > 1 and _between(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    (x, y), *rest = kept
    written = [f"M{_written(x)} {_written(y)}"]
    for nx, ny in rest:
        dx, dy = nx - x, ny - y
        written.append(
            f"v{_written(dy)}" if dx == 0 else f"h{_written(dx)}" if dy == 0 else f"l{_written(dx)} {_written(dy)}"
        )
        x, y = nx, ny
    return "".join(written) + ("z" if closed else "")


def _between(first: _Point, middle: _Point, last: _Point) -> bool:
    """Return whether a point lies between two others on a horizontal or a vertical line."""
    for k in (0, 1):
        if first[k] == middle[k] == last[k]:
            ends = first[1 - k], last[1 - k]
            return min(ends) <= middle[1 - k] <= max(ends)
    return False


def _without_idle_groups(element: ElementTree.Element) -> ElementTree.Element:
    """Return an element whose groups without attributes have given way to what is in them."""
    children: list[ElementTree.Element] = []
    for child in map(_without_idle_groups, list(element)):
        children += list(child) if child.tag == f"{_SVG}g" and not child.attrib else [child]
    element[:] = children
    return element
