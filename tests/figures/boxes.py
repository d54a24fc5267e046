"""Where things lie on a page."""

from matplotlib.backends.backend_agg import FigureCanvasAgg


def laid_out(figure):
    """The figure with everything in its place: drawn, but for the dots, which take most of the time."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def within(box, page):
    return all((page.x0 <= box.x0, page.y0 <= box.y0, box.x1 <= page.x1, box.y1 <= page.y1))
