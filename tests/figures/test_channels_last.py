"""Figures of inputs and maps whose channels are last, as Keras networks have them: those of the same ones with channels first."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from signxai import show
from signxai.common import InputError, OptionError
from signxai.common.visualization import overlay_relevance
from signxai.figures.map_plots import Sample, image_figure


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def arrays(shape):
    generator = np.random.default_rng(0)
    return generator.uniform(size=shape), generator.normal(size=shape)


def last(values):
    return np.moveaxis(values, 1, -1)


@pytest.mark.parametrize("shape", [(2, 3, 9, 12), (1, 1, 3, 8), (1, 2, 40)])
@pytest.mark.parametrize("overlay", [True, False])
def test_pictures_and_signals_are_shown_in_either_layout(shape, overlay):
    x, relevance = arrays(shape)
    expected = show(x, relevance, channels="first", overlay=overlay)
    np.testing.assert_array_equal(drawn(show(last(x), last(relevance), channels="last", overlay=overlay)), drawn(expected))


def test_another_word_for_the_channels_is_refused():
    with pytest.raises(OptionError, match="channels='NHWC'"):
        show(*arrays((1, 3, 4, 5)), channels="NHWC")


@pytest.mark.parametrize("overlay", [True, False])
def test_a_map_with_channels_last_is_summed_over_them(overlay):
    x, relevance = arrays((1, 3, 6, 7))
    image, own = last(x)[0], last(relevance)[0]
    figures = [image_figure(Sample(image, {"lrp": values}), overlay=overlay) for values in (own, own.sum(-1))]
    np.testing.assert_array_equal(*map(drawn, figures))
    np.testing.assert_array_equal(overlay_relevance(image, own), overlay_relevance(image, own.sum(-1)))
    np.testing.assert_array_equal(overlay_relevance(image, relevance[0]), overlay_relevance(image, relevance[0].sum(0)))


def test_a_photograph_takes_a_map_with_channels_last():
    pixels, relevance = arrays((1, 3, 6, 7))
    photo = Image.fromarray((last(pixels)[0] * 255).astype(np.uint8))
    np.testing.assert_array_equal(drawn(show(photo, last(relevance))), drawn(show(photo, relevance)))
    with pytest.raises(InputError):
        show(photo, relevance[:, :, :5])
