"""Where things lie on a page."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg


def laid_out(figure):
    """The figure with everything in its place: drawn, but for the dots, which take most of the time."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def within(box, page):
    return all((page.x0 <= box.x0, page.y0 <= box.y0, box.x1 <= page.x1, box.y1 <= page.y1))


def assert_nothing_overlaps(figure):
    """Neither texts nor panels, the last of which are those of the colour bar, and nothing leaves the page."""
    texts = [(text.get_text(), text.get_window_extent()) for text in figure.texts if text.get_text()]
    panels = [(f"axes {number}", axes.get_tightbbox()) for number, axes in enumerate(figure.axes)]
    assert [name for name, box in texts + panels if not within(box, figure.bbox)] == []
    assert [(one, other) for (one, box), (other, another) in itertools.combinations(texts, 2) if box.overlaps(another)] == []
    assert [(one, other) for (one, box), (other, another) in itertools.product(texts, panels) if box.overlaps(another)] == []
    frames = [axes.get_window_extent().padded(-1) for axes in figure.axes]  # the rows of a signal touch each other
    assert not any(one.overlaps(other) for one, other in itertools.combinations(frames, 2))
    assert not any(panel.overlaps(panels[-1][1]) for _, panel in panels[:-1])
