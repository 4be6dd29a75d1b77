"""voxshift.torch.minkowski's convolutions against MinkowskiEngine's rules as plain loops."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import minkowski_oracle as oracle  # noqa: E402
import voxshift.torch.minkowski as ME  # noqa: E402

# D, kernel size, stride, dilation
WINDOWS = [
    (1, 3, 1, 1),
    (1, 5, 2, 1),
    (2, 3, 1, 2),
    (2, 4, 2, 1),
    (3, 1, 1, 1),
    (3, 1, 2, 1),
    (3, 2, 1, 1),
    (3, 2, 2, 1),
    (3, 3, 1, 1),
    (3, 3, 2, 1),
    (3, 3, 1, 2),
    (3, 4, 2, 1),
    (3, 5, 1, 1),
    (3, (3, 1, 3), 1, 1),
    (3, (3, 1, 3), (2, 1, 2), 1),
    (3, (2, 3, 1), (2, 2, 1), (1, 2, 1)),
    (4, 2, 2, 1),
    (4, (3, 3, 3, 1), (2, 2, 2, 1), 1),
    (4, 3, 1, 1),
]


def axes(value, dims):
    return [value] * dims if isinstance(value, int) else list(value)


def scattered(random, dims, n=50, extent=5, unit=1):
    """Unique coordinates, multiples of the unit, some below 0, in a random order."""
    places = random.integers(-2, extent, (n, dims + 1))
    places[:, 0] = random.integers(0, 2, n)
    places[:, 1:] *= unit
    return [tuple(map(int, place)) for place in random.permutation(np.unique(places, axis=0))]


def tensor(random, places, channels=3, **options):
    feats = torch.from_numpy(random.standard_normal((len(places), channels)).astype(np.float32)).requires_grad_()
    return ME.SparseTensor(feats, torch.tensor(places, dtype=torch.int), **options), feats


def places_of(x):
    return [tuple(place) for place in x.C.tolist()]


def randomised(random, module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(random.standard_normal(parameter.shape).astype(np.float32)))
    return module


def weight_of(module):
    return module.kernel if module.kernel.dim() == 3 else module.kernel.unsqueeze(0)


def check(y, truth, places, *given):
    """Equal coordinates, features and gradients; truth is of the rows in y's order."""
    found = places_of(y)
    assert len(found) == len(places) and set(found) == set(places)
    torch.testing.assert_close(y.F, truth, atol=1e-4, rtol=1e-4)
    mask = torch.arange(1.0, truth.numel() + 1).view_as(truth).sin()
    options = {"allow_unused": True, "retain_graph": True}
    ours, theirs = (torch.autograd.grad((side * mask).sum(), given, **options) for side in (y.F, truth))
    for a, b in zip(ours, theirs):
        b = torch.zeros_like(a) if b is None else b
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dims,size,stride,dilation", WINDOWS)
def test_convolution_and_back(random, dims, size, stride, dilation):
    size, stride, dilation = axes(size, dims), axes(stride, dims), axes(dilation, dims)
    places, window = scattered(random, dims, unit=2), {"kernel_size": size, "stride": stride, "dilation": dilation}
    x, feats = tensor(random, places, tensor_stride=2)
    down = randomised(random, ME.MinkowskiConvolution(3, 4, **window, bias=True, dimension=dims))
    up = randomised(random, ME.MinkowskiConvolutionTranspose(4, 2, **window, bias=True, dimension=dims))
    assert down.kernel.dim() == (2 if np.prod(size) == 1 and max(stride) == 1 else 3) and down.bias.shape == (1, 4)
    y = down(x)
    coarse = oracle.rounded_down(places, [2 * s for s in stride])
    offsets = oracle.scaled(oracle.cube(size), dilation, [2] * dims)
    truth = oracle.convolved(places, feats, weight_of(down), places_of(y), offsets) + down.bias
    check(y, truth, coarse, feats, down.kernel, down.bias)
    assert y.tensor_stride == [2 * s for s in stride]
    z = up(y)
    truth = oracle.transposed(places_of(y), truth, weight_of(up), places, offsets) + up.bias
    assert places_of(z) == places and z.coordinate_map_key == x.coordinate_map_key
    check(z, truth, places, feats, down.kernel, up.kernel, up.bias)


@pytest.mark.parametrize("dims,size,stride", [(1, 3, 2), (3, 2, 2), (3, 3, 2), (3, 3, 1), (2, 4, 2), (4, 2, 2)])
@pytest.mark.parametrize("generative", [False, True])
def test_transposed_where_there_is_nothing_to_go_back_to(random, dims, size, stride, generative):
    places = scattered(random, dims, n=20, unit=2)
    x, feats = tensor(random, places, tensor_stride=2)
    kind = ME.MinkowskiGenerativeConvolutionTranspose if generative else ME.MinkowskiConvolutionTranspose
    module = randomised(random, kind(3, 2, kernel_size=size, stride=stride, bias=True, dimension=dims))
    y = module(x)
    offsets = oracle.scaled(oracle.cube([size] * dims), [2 // stride] * dims)
    made = oracle.generated(places, offsets) if generative or stride > 1 else places
    truth = oracle.transposed(places, feats, module.kernel, places_of(y), offsets) + module.bias
    check(y, truth, made, feats, module.kernel, module.bias)
    assert y.tensor_stride == [2 // stride] * dims
    with pytest.raises(ValueError, match="cannot go back"):
        kind(3, 2, kernel_size=3, stride=4, dimension=dims)(x)


@pytest.mark.parametrize("dims,size,stride", [(2, 3, 1), (3, 3, 1), (3, 2, 1), (3, 3, 2), (3, 2, 2)])
def test_expanded_coordinates(random, dims, size, stride):
    places = scattered(random, dims, n=20)
    x, feats = tensor(random, places)
    module = ME.MinkowskiConvolution(3, 2, kernel_size=size, stride=stride, expand_coordinates=True, dimension=dims)
    y = randomised(random, module)(x)
    offsets = oracle.cube([size] * dims)
    made = oracle.generated(places, offsets, [stride] * dims)
    check(y, oracle.convolved(places, feats, module.kernel, places_of(y), offsets), made, feats, module.kernel)


@pytest.mark.parametrize("dims,stride", [(2, 1), (3, 2), (4, 1)])
def test_crosses(random, dims, stride):
    places = scattered(random, dims)
    x, feats = tensor(random, places)
    generator = ME.KernelGenerator(3, stride, 1, region_type=ME.RegionType.HYPER_CROSS, dimension=dims)
    module = randomised(random, ME.MinkowskiConvolution(3, 2, kernel_generator=generator, dimension=dims))
    assert module.kernel.shape == (2 * dims + 1, 3, 2)
    y, offsets = module(x), oracle.cross([3] * dims)
    truth = oracle.convolved(places, feats, module.kernel, places_of(y), offsets)
    check(y, truth, oracle.rounded_down(places, [stride] * dims), feats, module.kernel)
    back = randomised(random, ME.MinkowskiConvolutionTranspose(2, 3, kernel_generator=generator, dimension=dims))
    truth = oracle.transposed(places_of(y), truth, back.kernel, places, offsets)
    check(back(y), truth, places, feats, back.kernel)


def test_crosses_of_five_and_other_windows(random):
    assert ME.KernelGenerator([5, 3], region_type=ME.RegionType.HYPER_CROSS, dimension=2).window == tuple(
        oracle.cross([5, 3])
    )
    offsets = torch.tensor([[0, 0], [2, -1], [-3, 1]], dtype=torch.int)
    generator = ME.KernelGenerator(3, region_type=ME.RegionType.CUSTOM, region_offsets=offsets, dimension=2)
    places = scattered(random, 2)
    x, feats = tensor(random, places)
    module = randomised(random, ME.MinkowskiConvolution(3, 2, kernel_generator=generator, dimension=2))
    truth = oracle.convolved(places, feats, module.kernel, places, offsets.tolist())
    check(module(x), truth, places, feats, module.kernel)
    axis_types = [ME.RegionType.HYPER_CUBE, ME.RegionType.HYPER_CUBE, ME.RegionType.HYPER_CROSS]
    generator = ME.KernelGenerator(3, region_type=ME.RegionType.HYBRID, axis_types=axis_types, dimension=3)
    wanted = {(a, b, 0) for a in (-1, 0, 1) for b in (-1, 0, 1)} | {(0, 0, 1), (0, 0, -1)}
    assert len(generator.window) == 11 and set(generator.window) == wanted
    with pytest.raises(ValueError, match="odd"):
        ME.KernelGenerator(2, region_type=ME.RegionType.HYPER_CROSS, dimension=2)


def test_given_coordinates(random):
    places, others = scattered(random, 3, unit=2), scattered(random, 3, n=30)
    x, feats = tensor(random, places, tensor_stride=2)
    module = randomised(random, ME.MinkowskiConvolution(3, 2, kernel_size=3, stride=2, dimension=3))
    offsets = oracle.scaled(oracle.cube([3] * 3), [2] * 3)
    wanted = [(p[0], *(4 * v for v in p[1:])) for p in others]
    y = module(x, torch.tensor(wanted, dtype=torch.int))
    assert places_of(y) == wanted
    check(y, oracle.convolved(places, feats, module.kernel, wanted, offsets), wanted, feats, module.kernel)
    again = module(x, y)
    assert again.coordinate_map_key == y.coordinate_map_key
    torch.testing.assert_close(again.F, y.F)
    up = randomised(random, ME.MinkowskiConvolutionTranspose(2, 3, kernel_size=3, stride=2, dimension=3))
    some = [place for place in places if place[1] > 0]
    target = ME.SparseTensor(
        torch.zeros(len(some), 1),
        torch.tensor(some, dtype=torch.int),
        tensor_stride=2,
        coordinate_manager=x.coordinate_manager,
    )
    z = up(y, target)
    assert places_of(z) == some
    truth = oracle.transposed(wanted, y.F, up.kernel, some, offsets)
    torch.testing.assert_close(z.F, truth, atol=1e-4, rtol=1e-4)


def test_layers_after_pruning_and_with_a_shared_manager(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    mask = torch.from_numpy(random.random(len(places)) < 0.6)
    less = ME.MinkowskiPruning()(x, mask)
    kept = [place for place, keep in zip(places, mask) if keep]
    assert places_of(less) == kept
    torch.testing.assert_close(less.F, feats[mask])
    same = randomised(random, ME.MinkowskiConvolution(3, 3, kernel_size=3, dimension=3))
    torch.testing.assert_close(ME.MinkowskiPruning()(same(x), mask).F, same(x).F[mask])
    down = randomised(random, ME.MinkowskiConvolution(3, 4, kernel_size=3, stride=2, dimension=3))
    up = randomised(random, ME.MinkowskiConvolutionTranspose(4, 2, kernel_size=3, stride=2, dimension=3))
    y, offsets = down(less), oracle.cube([3] * 3)
    truth = oracle.convolved(kept, feats[mask], down.kernel, places_of(y), offsets)
    check(y, truth, oracle.rounded_down(kept, [2] * 3), feats, down.kernel)
    # The way back leads onto the map of stride 1 without a name, which is that of all.
    truth = oracle.transposed(places_of(y), truth, up.kernel, places, offsets)
    check(up(y), truth, places, feats, up.kernel)


def test_coordinates_that_are_no_multiples_of_their_stride(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places, tensor_stride=2)
    same = randomised(random, ME.MinkowskiConvolution(3, 3, kernel_size=3, dimension=3))
    down = randomised(random, ME.MinkowskiConvolution(3, 3, kernel_size=3, stride=2, dimension=3))
    up = randomised(random, ME.MinkowskiGenerativeConvolutionTranspose(3, 3, kernel_size=2, stride=2, dimension=3))
    offsets = oracle.scaled(oracle.cube([3] * 3), [2] * 3)
    check(same(x), oracle.convolved(places, feats, same.kernel, places, offsets), places, feats, same.kernel)
    y = down(x)
    truth = oracle.convolved(places, feats, down.kernel, places_of(y), offsets)
    check(y, truth, oracle.rounded_down(places, [4] * 3), feats, down.kernel)
    y = up(x)
    offsets = oracle.cube([2] * 3)
    made = oracle.generated(places, offsets)
    check(y, oracle.transposed(places, feats, up.kernel, places_of(y), offsets), made, feats, up.kernel)


@pytest.mark.parametrize("dims,size,stride,dilation", [(2, 3, 1, 2), (3, 3, 2, 1), (3, 2, 2, 1)])
def test_channelwise(random, dims, size, stride, dilation):
    places = scattered(random, dims)
    x, feats = tensor(random, places)
    window = {"kernel_size": size, "stride": stride, "dilation": dilation}
    module = ME.MinkowskiChannelwiseConvolution(3, **window, bias=True, dimension=dims)
    assert module.kernel.shape == (size**dims, 3)
    y = randomised(random, module)(x)
    weight = torch.diag_embed(module.kernel)
    offsets = oracle.scaled(oracle.cube([size] * dims), [dilation] * dims)
    truth = oracle.convolved(places, feats, weight, places_of(y), offsets) + module.bias
    check(y, truth, oracle.rounded_down(places, [stride] * dims), feats, module.kernel, module.bias)


def test_convolution_function(random):
    places = scattered(random, 3)
    x, feats = tensor(random, places)
    generator, key = ME.KernelGenerator(2, 2, dimension=3), ME.CoordinateMapKey(4)
    weight = torch.randn(8, 3, 2)
    manager = x.coordinate_manager
    mode = ME.ConvolutionMode.DEFAULT
    out = ME.MinkowskiConvolutionFunction().apply(x.F, weight, generator, mode, x.coordinate_map_key, key, manager)
    found = [tuple(place) for place in manager.get_coordinates(key).tolist()]
    truth = oracle.convolved(places, feats, weight, found, oracle.cube([2] * 3))
    torch.testing.assert_close(out, truth, atol=1e-4, rtol=1e-4)
    assert key.get_tensor_stride() == [2, 2, 2]


def test_refusals(random):
    x, _ = tensor(random, scattered(random, 3))
    with pytest.raises(ValueError, match="3 dimensions"):
        ME.MinkowskiConvolution(3, 2, kernel_size=3, dimension=3)(tensor(random, scattered(random, 2))[0])
    with pytest.raises(ValueError, match="dimension"):
        ME.MinkowskiConvolution(3, 2, kernel_size=3)
    with pytest.raises(ValueError, match="kernel_size"):
        ME.MinkowskiConvolution(3, 2, dimension=3)
    with pytest.raises(ValueError, match="on the CPU or on CUDA, found one on meta"):
        ME.SparseTensor(torch.zeros(1, 1, device="meta"), torch.ones(1, 4, dtype=torch.int))
    with pytest.raises(ValueError, match="coordinates, or"):
        ME.SparseTensor(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="2 rows"):
        ME.SparseTensor(torch.zeros(2, 1), torch.ones(1, 4, dtype=torch.int))
