"""ops.image against the installed Keras."""

import keras
import numpy as np
import pytest
import torch
from _ops import check, compare, numbers, same_signature

from lightkeras import KerasTensor, ops, random

NAMES = [name for name in dir(keras.ops.image) if name[0] != "_"]
FORMATS = ["channels_last", "channels_first"]


def image(*shape, dtype="float32", data_format="channels_last", seed=0):
    """A batch of pictures of `shape` (height, width, channels), or one where there is no batch."""
    x = numbers(*shape, low=0, high=1 if "float" in dtype else 255, dtype=dtype, seed=seed)
    return np.moveaxis(x, -1, -3).copy() if data_format == "channels_first" else x


def test_names_and_signatures():
    assert set(ops.image.__all__) == set(NAMES)
    for name in NAMES:
        same_signature(f"image.{name}")


# ---- colors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (4, 5, 3)])
@pytest.mark.parametrize("name", ["rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_colors(name, shape, data_format, dtype):
    x = image(*shape, data_format=data_format, dtype=dtype)
    x.flat[:6] = 0, 0, 0, 1, 1, 1
    symbolic = len(shape) == 4
    kwargs = {"data_format": data_format, "symbolic": symbolic, "gradients": name != "rgb_to_hsv"}
    check(f"image.{name}", x, **kwargs)


def test_grey_of_integers_and_of_grey():
    check("image.rgb_to_grayscale", image(2, 4, 5, 3, dtype="uint8"))
    check("image.rgb_to_grayscale", image(2, 4, 5, 1))


def test_pure_colors_and_grey_in_hsv():
    colors = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5], [0, 0, 0], [1, 0, 0.5]]])
    check("image.rgb_to_hsv", colors.astype("float32"), gradients=False, symbolic=False)


# ---- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(4, 5), (13, 6), (7, 20)])
@pytest.mark.parametrize("data_format", FORMATS)
def test_resize(interpolation, antialias, size, data_format):
    x = image(2, 8, 10, 3, data_format=data_format)
    kwargs = {"interpolation": interpolation, "antialias": antialias, "data_format": data_format}
    check("image.resize", x, size, **kwargs)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_resize_keeps_the_dtype(dtype, interpolation):
    size = (5, 13)
    if dtype == "bfloat16":
        x = torch.tensor(image(8, 10, 3)).bfloat16()
        mine, theirs = (k.resize(x, size) for k in (ops.image, keras.ops.image))
        return compare("resize", mine, theirs, 1e-2, 1e-2)
    more = {"rtol": 1e-3} if dtype == "float16" else {}
    x = image(8, 10, 3, dtype=dtype)
    check("image.resize", x, size, interpolation, symbolic=False, gradients=False, **more)
    return None


@pytest.mark.parametrize("size", [(4, 4), (12, 5), (6, 16)])
@pytest.mark.parametrize("shape", [(2, 8, 10, 3), (9, 5, 1)])
@pytest.mark.parametrize("kwargs", [{"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}])
def test_proportions(size, shape, kwargs):
    fill = {"fill_value": 0.25} if "pad_to_aspect_ratio" in kwargs else {}
    check("image.resize", image(*shape), size, **kwargs, **fill, symbolic=len(shape) == 4)


def test_lanczos():
    """Not in Keras on torch: the same as its resampling, axis by axis."""
    x = image(2, 8, 10, 3)
    expected = keras.ops.image.scale_and_translate(
        torch.tensor(x), (2, 4, 15, 3), (0.5, 1.5), (0.0, 0.0), (1, 2), "lanczos3"
    )
    mine = ops.image.resize(x, (4, 15), "lanczos3", antialias=True)
    np.testing.assert_allclose(mine, expected, atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (6, 7, 3)])
@pytest.mark.parametrize(
    "sizes",
    [
        {"top": 1, "left": 2, "bottom": 3, "right": 0},
        {"top": 1, "left": 2, "target": (10, 12)},
        {"bottom": 1, "right": 0, "target": (9, 9)},
    ],
)
def test_padding(shape, sizes, data_format):
    kwargs = {f"{k}_padding": v for k, v in sizes.items() if k != "target"}
    kwargs |= dict(zip(("target_height", "target_width"), sizes.get("target", ()), strict=False))
    x = image(*shape, data_format=data_format)
    check("image.pad_images", x, **kwargs, data_format=data_format, symbolic=len(shape) == 4)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 9, 8, 3), (9, 8, 3)])
@pytest.mark.parametrize(
    "sizes",
    [
        {"top": 1, "left": 2, "bottom": 3, "right": 0},
        {"top": 1, "left": 2, "target": (5, 3)},
        {"bottom": 1, "right": 0, "target": (4, 8)},
    ],
)
def test_cropping(shape, sizes, data_format):
    kwargs = {f"{k}_cropping": v for k, v in sizes.items() if k != "target"}
    kwargs |= dict(zip(("target_height", "target_width"), sizes.get("target", ()), strict=False))
    x = image(*shape, data_format=data_format)
    check("image.crop_images", x, **kwargs, data_format=data_format, symbolic=len(shape) == 4)


# ---- patches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 9, 11, 3), (9, 11, 2)])
@pytest.mark.parametrize(
    ("size", "strides", "dilation", "padding"),
    [
        (3, None, 1, "valid"),
        ((2, 3), (1, 2), 1, "valid"),
        ((3, 2), 1, 2, "valid"),
        (4, 3, 1, "same"),
        ((3, 3), 1, 1, "same"),
    ],
)
def test_patches(shape, size, strides, dilation, padding, data_format):
    x = image(*shape, data_format=data_format)
    kwargs = {"strides": strides, "dilation_rate": dilation, "padding": padding}
    kwargs |= {"data_format": data_format, "symbolic": len(shape) == 4}
    check("image.extract_patches", x, size, **kwargs)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 5, 6, 7, 2), (5, 6, 4, 1)])
@pytest.mark.parametrize(
    ("size", "strides", "padding"), [(2, None, "valid"), ((3, 2, 2), 1, "same")]
)
def test_patches_of_volumes(shape, size, strides, padding, data_format):
    x = numbers(*shape)
    x = np.moveaxis(x, -1, -4).copy() if data_format == "channels_first" else x
    kwargs = {"strides": strides, "padding": padding, "data_format": data_format}
    kwargs["symbolic"] = len(shape) == 5
    check("image.extract_patches_3d", x, size, **kwargs)
    if isinstance(size, tuple):
        check("image.extract_patches", x, size, **kwargs)


# ---- maps -------------------------------------------------------------------------------------

TURN = [0.8, -0.6, 2.0, 0.6, 0.8, -1.5, 0.0, 0.0]
SHIFT = [1.0, 0.0, 2.5, 0.0, 1.0, -3.25, 0.0, 0.0]
ZOOM = [0.5, 0.1, 1.0, 0.0, 1.7, -6.0, 0.0, 0.0]
FILLS = ["constant", "nearest", "reflect", "mirror", "wrap"]


def theirs_affine(x, transform, **kwargs):
    """Keras's; it overwrites the transform and does not take one for all."""
    transform = torch.tensor(transform)
    if transform.ndim == 1 and x.ndim == 4:
        transform = transform.expand(len(x), 8).clone()
    return keras.ops.image.affine_transform(torch.tensor(x), transform.clone(), **kwargs)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode", FILLS)
@pytest.mark.parametrize("transform", [TURN, SHIFT, ZOOM])
@pytest.mark.parametrize("data_format", FORMATS)
def test_affine_transform(transform, fill_mode, interpolation, data_format):
    kwargs = {"interpolation": interpolation, "fill_mode": fill_mode, "data_format": data_format}
    kwargs["fill_value"] = 0.5
    for shape in ((2, 7, 9, 3), (6, 5, 2)):  # of one channel Keras's mirror divides by 0
        x = image(*shape, data_format=data_format)
        mine = ops.image.affine_transform(x, transform, **kwargs)
        compare("affine_transform", mine, theirs_affine(x, transform, **kwargs), atol=2e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_affine_transform_of_other_dtypes(dtype):
    x = image(2, 7, 9, 3, dtype=dtype)
    each = np.array([TURN, ZOOM], "float32")
    mine = ops.image.affine_transform(x, each, fill_value=7)
    wanted = theirs_affine(x, each, fill_value=7)
    assert mine.dtype == wanted.dtype
    assert (mine.double() - wanted.double()).abs().max() <= (1e-4 if "float" in dtype else 1)


def test_projective_maps():
    """c0 and c1 divide, as Keras's documentation says (on torch it does something else)."""
    x = image(8, 8, 1)
    eight = [1.0, 0.2, 0.5, 0.1, 0.9, 0.0, 0.02, 0.03]
    rows, columns = np.mgrid[:8, :8].astype("float32")
    depth = 0.02 * columns + 0.03 * rows + 1
    at = (0.1 * columns + 0.9 * rows) / depth, (columns + 0.2 * rows + 0.5) / depth
    expected = ops.image.map_coordinates(x[..., 0], np.stack(at), 1)
    mine = ops.image.affine_transform(x, eight)
    np.testing.assert_allclose(mine[..., 0], expected, atol=1e-5)


def test_gradients_of_maps():
    x, each = image(2, 7, 9, 3, dtype="float64"), np.array([TURN, ZOOM])
    each[:, :6] += numbers(2, 6, low=0.001, high=0.02)  # no place is a pixel, where slopes jump
    a, b = (torch.tensor(v, requires_grad=True) for v in (x, each))
    assert torch.autograd.gradcheck(ops.image.affine_transform, (a, b), fast_mode=True)
    ours, theirs = (torch.tensor(x, requires_grad=True) for _ in range(2))
    for k, leaf in ((ops, ours), (keras.ops, theirs)):
        k.image.affine_transform(leaf, torch.tensor(each)).square().sum().backward()
    np.testing.assert_allclose(ours.grad, theirs.grad, atol=1e-6)


def test_symbolic_maps():
    y = ops.image.affine_transform(KerasTensor((None, 7, 9, 3)), KerasTensor((None, 8)))
    assert y.shape == (None, 7, 9, 3)
    y = ops.image.elastic_transform(KerasTensor((None, 7, 9, 3), "float16"))
    assert (y.shape, y.dtype) == ((None, 7, 9, 3), "float16")


POINTS = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 6.0], [8.0, 6.0]], "float32")
MOVED = np.array([[1.0, 0.5], [7.0, 0.0], [-1.0, 6.0], [9.0, 5.0]], "float32")


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_perspective_transform(interpolation, data_format):
    more = {"interpolation": interpolation, "data_format": data_format, "fill_value": 0.5}
    more |= {"gradients": False, "atol": 1e-4}
    x = image(2, 7, 9, 3, data_format=data_format)
    check("image.perspective_transform", x, POINTS, MOVED, **more, symbolic=False)
    both = np.stack((POINTS, MOVED)), np.stack((MOVED, POINTS))
    check("image.perspective_transform", x, *both, **more)
    check("image.perspective_transform", x[0], POINTS, MOVED, **more, symbolic=False)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode", ["constant", "reflect", "wrap"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_elastic_transform(interpolation, fill_mode, data_format):
    """Without a seed both draw from torch's generator, in the same order."""
    kwargs = {"alpha": 8.0, "sigma": 2.0, "interpolation": interpolation, "fill_mode": fill_mode}
    kwargs |= {"fill_value": 0.5, "data_format": data_format}
    x = torch.tensor(image(2, 12, 14, 3, data_format=data_format))
    results = []
    for k in (ops.image, keras.ops.image):
        torch.manual_seed(3)
        results.append(k.elastic_transform(x, **kwargs))
    compare("elastic_transform", *results, atol=1e-4)
    assert (results[0] != x).any()


def test_elastic_transform_with_a_seed():
    x = image(2, 12, 14, 3)
    generator = random.SeedGenerator(1)
    same = [ops.image.elastic_transform(x, seed=1) for _ in range(2)]
    new = [ops.image.elastic_transform(x, seed=generator) for _ in range(2)]
    assert torch.equal(*same)
    assert torch.equal(same[0], new[0])
    assert not torch.equal(*new)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", FILLS)
@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 4, 5)])
def test_map_coordinates(order, fill_mode, shape):
    at = numbers(len(shape), 4, 9, low=-1.4, high=2.4, seed=1)
    at *= np.array(shape, "float32")[:, None, None]
    kwargs = {"fill_mode": fill_mode, "fill_value": 3.0, "symbolic": False}
    check("image.map_coordinates", numbers(*shape), at, order, **kwargs)
    check("image.map_coordinates", numbers(*shape, high=99, dtype="int32"), at, order, **kwargs)


def test_a_symbolic_map_of_coordinates():
    x = numbers(5, 6)
    at = numbers(2, 4, 3, low=0, high=5)
    check("image.map_coordinates", x, at, 1, symbols=[0])


# ---- resampling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["linear", "bilinear", "cubic", "bicubic", "lanczos3", "lanczos5"]
)
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("scale", "shift"), [((0.5, 1.7), (0.0, 0.0)), ((2.0, 0.3), (1.5, -2.0))])
def test_scale_and_translate(method, antialias, scale, shift):
    x, shape = image(2, 8, 10, 3), (2, 6, 9, 3)
    kwargs = {"antialias": antialias, "gradients": False, "symbolic": False}
    given = np.array(scale, "float32"), np.array(shift, "float32")
    check("image.scale_and_translate", x, shape, *given, (1, 2), method, **kwargs)
    ints = image(5, 4, 1, dtype="int32")
    check("image.scale_and_translate", ints, (7, 4, 1), *given, (0, 1), method, **kwargs)


# ---- filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("size", "sigma"), [((3, 3), (1.0, 1.0)), ((5, 5), (0.8, 2.0))])
def test_gaussian_blur(size, sigma, data_format):
    x = image(2, 7, 9, 3, data_format=data_format)
    check("image.gaussian_blur", x, size, sigma, data_format=data_format)
    check("image.gaussian_blur", x[0], size, sigma, data_format=data_format, symbolic=False)


def test_blur_of_another_shape():
    """Keras's comes out in another size; ours is the blur of each axis."""
    x = image(1, 7, 9, 1)
    y = ops.image.gaussian_blur(x, (5, 3), (1.0, 1.0))
    bell = [np.exp(-0.5 * (np.arange(n) - n // 2) ** 2.0) for n in (5, 3)]
    spot = np.zeros((1, 7, 9, 1), "float32")
    spot[0, 3, 4] = 1
    expected = np.outer(bell[0] / bell[0].sum(), bell[1] / bell[1].sum())
    got = ops.image.gaussian_blur(spot, (5, 3), (1.0, 1.0))[0, 1:6, 3:6, 0]
    assert y.shape == x.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 5, 5, 1)])
def test_sobel_edges(shape, data_format):
    check("image.sobel_edges", image(*shape, data_format=data_format), data_format=data_format)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 16, 14, 3), (12, 13, 1)])
@pytest.mark.parametrize("kwargs", [{}, {"max_val": 2.0, "filter_size": 7, "filter_sigma": 1.0}])
def test_ssim(shape, kwargs, data_format):
    x = image(*shape, data_format=data_format)
    y = x + 0.2 * image(*shape, data_format=data_format, seed=1)
    more = {"data_format": data_format, "symbolic": len(shape) == 4, "rtol": 1e-4, "atol": 1e-4}
    check("image.ssim", x, y, **kwargs, **more)


# ---- what is refused --------------------------------------------------------------------------

RGB = image(4, 5, 3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.image.resize(RGB, (2, 2), "biliner"), "Did you mean 'bilinear'"),
        (lambda: ops.image.resize(RGB[..., 0], (2, 2)), r"Add the channels: x\[\.\.\., None\]"),
        (lambda: ops.image.resize(RGB, (2, 2, 2)), r"resize\(size=\(2, 2, 2\)\) does not fit"),
        (
            lambda: ops.image.resize(
                RGB, (2, 2), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True
            ),
            "Drop one of them",
        ),
        (lambda: ops.image.resize(RGB, (2, 2), fill_mode="wrap"), "Unknown fill_mode of resize"),
        (lambda: ops.image.rgb_to_hsv(RGB[..., :2]), "images of 2 channels .* Check data_format"),
        (lambda: ops.image.pad_images(RGB, 1, 1), "top_padding=1, bottom_padding=None"),
        (
            lambda: ops.image.crop_images(RGB, 1, 1, target_height=9, target_width=2),
            "top_cropping=1, bottom_cropping=None, target_height=9 for a size of 4",
        ),
        (lambda: ops.image.extract_patches(RGB, (2, 2, 2)), r"\(4, 5, 3\) and size=\(2, 2, 2\)"),
        (lambda: ops.image.affine_transform(RGB, [1.0] * 6), "for no change"),
        (
            lambda: ops.image.affine_transform(RGB, TURN, fill_mode="mirorr"),
            "Did you mean 'mirror'",
        ),
        (lambda: ops.image.perspective_transform(RGB, POINTS, POINTS[:3]), r"\(4, 2\) and \(3, 2"),
        (lambda: ops.image.map_coordinates(RGB, [[0.0]], 1), "One row of coordinates for each"),
        (lambda: ops.image.map_coordinates(RGB, RGB[:3], 2), "order=2"),
        (
            lambda: ops.image.scale_and_translate(RGB, (2, 2, 3), [1], [0], (0,), "cubik"),
            "Did you mean 'cubic'",
        ),
        (lambda: ops.image.sobel_edges(RGB), r"For one image, type x\[None\]"),
        (lambda: ops.image.ssim(RGB, RGB), "at least 11 high and wide"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_errors_of_types():
    with pytest.raises(TypeError, match=r"images of torch.uint8.*/ 255"):
        ops.image.rgb_to_hsv(RGB.astype("uint8"))
    with pytest.raises(TypeError, match="Type size="):
        ops.image.extract_patches(RGB, (1,))
