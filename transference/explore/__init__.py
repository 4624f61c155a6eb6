"""A run in, one page out: every loss ratio as a cell of a matrix that one can touch, in a browser.

The page is a single file with a script of its own: it loads nothing, over no network, and may run nothing else (its content security
policy says so). The same run gives the same bytes.
"""

from transference.explore._page import ExploreOptions, Explorer, build_page

__all__ = ["ExploreOptions", "Explorer", "build_page"]
