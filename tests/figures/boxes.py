"""Where things lie on a page."""


def within(box, page):
    return all((page.x0 <= box.x0, page.y0 <= box.y0, box.x1 <= page.x1, box.y1 <= page.y1))
