import re
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.parts import parts
from lightning_liver.finetune.transfer import Transfer, plan
from tests.finetune.networks import bits, same, unet


def kinds(transfer: Transfer) -> Counter[str]:
    return Counter(one.kind for one in transfer.matches)


def test_equal_networks_are_equal_bit_for_bit_afterwards() -> None:
    source, network = unet(1), unet(2)
    transfer = plan(network, source.state_dict(), parts=None)
    assert not same(bits(network), bits(source))
    transfer.apply(network)
    assert same(bits(network), bits(source))
    assert transfer.copied == {name for name, _ in network.named_parameters()}
    assert kinds(transfer) == {"copied": len(network.state_dict())}


options = st.fixed_dictionaries(
    {
        "in_channels": st.sampled_from([1, 2, 3]),
        "classes": st.integers(1, 3),
        "depth": st.sampled_from([1, 2]),
        "norm": st.sampled_from(["none", "batch", "instance"]),
    }
)


@settings(max_examples=40)
@given(given_=options, wanted=options, some=st.one_of(st.none(), st.sets(st.integers(0, 20), min_size=1)))
def test_what_the_table_does_not_say_stays_as_it_was(
    given_: dict[str, int | str], wanted: dict[str, int | str], some: set[int] | None
) -> None:
    source, network = unet(1, **given_), unet(2, **wanted)
    known = list(parts(network))
    names = None if some is None else {known[n % len(known)] for n in some}
    before, theirs = bits(network), bits(source)
    try:
        transfer = plan(network, source.state_dict(), parts=names)
    except LiverError:
        assert same(bits(network), before)
        return
    assert same(bits(network), before)
    transfer.apply(network)
    after = bits(network)
    assert [one.name for one in transfer.matches] == list(before)
    for one in transfer.matches:
        unchanged = torch.equal(after[one.name], before[one.name])
        if one.kind == "copied":
            assert torch.equal(after[one.name], theirs[one.name])
        assert unchanged != (one.kind in ("copied", "reshaped")), one
        assert names is None or one.part in names or one.kind == "new"
    learnable = {name for name, _ in network.named_parameters()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert transfer.copied == learnable & changed


@settings(max_examples=25)
@given(n=st.integers(1, 7), m=st.integers(1, 7), seed=st.integers(0, 99), norm=st.sampled_from(["none", "batch"]))
def test_equal_channels_give_equal_answers_whatever_their_number(n: int, m: int, seed: int, norm: str) -> None:
    source = unet(seed, in_channels=n, norm=norm).double().eval()
    network = unet(seed + 1, in_channels=m, norm=norm).double().eval()
    plan(network, source.state_dict(), parts=None).apply(network)
    image = torch.rand(1, 1, 16, 16, dtype=torch.float64)  # float32 rounds differently with other channels
    with torch.inference_mode():
        torch.testing.assert_close(
            network(image.expand(1, m, 16, 16)), source(image.expand(1, n, 16, 16)), rtol=1e-5, atol=1e-5
        )


def test_input_channels_are_summed_and_divided() -> None:
    one, three = unet(1, in_channels=1), unet(2, in_channels=3)
    weight = one.encoder[0].conv1.weight.detach().clone()
    plan(three, one.state_dict(), parts=None).apply(three)
    assert torch.allclose(three.encoder[0].conv1.weight, (weight / 3).expand(4, 3, 3, 3))
    back = unet(3, in_channels=1)
    plan(back, three.state_dict(), parts=None).apply(back)
    assert torch.allclose(back.encoder[0].conv1.weight, weight)


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_classes_are_taken_in_order_and_others_keep_their_start(n: int, m: int) -> None:
    source, network = unet(1, classes=n), unet(2, classes=m)
    before = bits(network)
    transfer = plan(network, source.state_dict(), parts=None)
    transfer.apply(network)
    both = min(n, m)
    for name in ("head.weight", "head.bias"):
        after = network.state_dict()[name]
        assert torch.equal(after[:both], source.state_dict()[name][:both])
        assert torch.equal(after[both:], before[name][both:])
    assert {"head.weight", "head.bias"} <= transfer.copied
    assert kinds(transfer)["reshaped"] == 2


def test_only_the_wanted_parts_are_copied() -> None:
    source, network = unet(1), unet(2)
    before = bits(network)
    transfer = plan(network, source.state_dict(), parts=["encoder.0", "encoder.1"])
    transfer.apply(network)
    for name, tensor in network.state_dict().items():
        wanted = name.startswith(("encoder.0.", "encoder.1."))
        assert torch.equal(tensor, (source.state_dict() if wanted else before)[name])
    assert {name.rsplit(".", 2)[0] for name in transfer.copied} == {"encoder.0", "encoder.1"}


def test_unknown_part_is_named() -> None:
    with pytest.raises(LiverError, match=r"finetune\.copied.*middle.*encoder\.0"):
        plan(unet(1), unet(2).state_dict(), parts=["middle"])


PREFIXES = [
    "",
    "network.",
    "module.",
    "model.",
    "_orig_mod.",
    "module._orig_mod.",
    "model.network.",
    "net.",
    "backbone.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_wrappers_in_front_of_names_are_removed(prefix: str) -> None:
    source, network = unet(1), unet(2)
    weights = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    transfer = plan(network, weights | {"loss.weight": torch.ones(2, 2)}, parts=None)
    transfer.apply(network)
    assert same(bits(network), bits(source))
    assert transfer.unused == {"loss.weight": (2, 2)}
    assert not prefix or f"without {prefix}" in transfer.table()


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "encoder_q."])
def test_weights_of_a_bare_encoder_find_the_encoder(prefix: str) -> None:
    source, network = unet(1), unet(2)
    weights = {f"{prefix}{name}": tensor for name, tensor in source.encoder.state_dict().items()}
    if prefix == "encoder_q.":  # not among the stated wrappers
        with pytest.raises(LiverError, match="none of its weights fits"):
            plan(network, weights, parts=None)
        return
    transfer = plan(network, weights, parts=None)
    transfer.apply(network)
    assert same(bits(network.encoder), bits(source.encoder))
    assert {one.part for one in transfer.matches if one.kind == "new"} == {"decoder.0", "decoder.1", "head"}


def test_other_widths_are_refused_with_the_table() -> None:
    with pytest.raises(LiverError) as refused:
        plan(unet(1), unet(2, base_channels=8).state_dict(), parts=None)
    message = str(refused.value)
    assert "none of its weights fits the network" in message
    assert re.search(r"encoder\.0\.conv1\.weight +left out +8x1x3x3 +4x1x3x3 +another shape", message)
    assert re.search(r"encoder\.1\.norm1\.num_batches_tracked +left out .*goes with its layer", message)
    assert re.search(r"^head +1 +0 +1 +0$", message, re.MULTILINE)  # a bias that fits by chance is not enough


def test_weights_of_another_kind_of_network_are_refused_with_their_names() -> None:
    with pytest.raises(LiverError, match=r"Not used of the source: 0\.weight 7x7, 0\.bias 7"):
        plan(unet(1), nn.Sequential(nn.Linear(7, 7)).state_dict(), parts=None)
    with pytest.raises(LiverError, match="and 10 more"):
        plan(unet(1), {f"block{n}.weight": torch.ones(1) for n in range(30)}, parts=None)
    with pytest.raises(LiverError, match="none of its weights fits"):
        plan(unet(1), {}, parts=None)


def test_table_says_what_happens_to_every_part() -> None:
    table = plan(unet(1, in_channels=3), unet(2, classes=1).state_dict(), parts=["encoder.*", "head"]).table()
    lines = [re.split(r"\s{2,}", line) for line in table.splitlines()]
    assert ["part", "copied", "reshaped", "left out", "new"] in lines
    assert ["encoder.0", "11", "1", "0", "0"] in lines
    assert ["decoder.0", "0", "0", "0", "14"] in lines
    assert ["head", "0", "2", "0", "0"] in lines
    why = "sum of 1 input channels, divided by 3"
    assert ["encoder.0.conv1.weight", "reshaped", "4x1x3x3", "4x3x3x3", why] in lines
    assert ["head.bias", "reshaped", "1", "2", "the first 1 of 1 output channels"] in lines


class Normed(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Conv2d(4, 2, 1)


def test_running_statistics_go_with_their_layer() -> None:
    network = Normed(4)
    transfer = plan(network, {**Normed(4).state_dict(), "norm.weight": torch.ones(9)}, parts=None)
    of_norm = {one.name: (one.kind, one.why) for one in transfer.matches if one.part == "norm"}
    assert of_norm["norm.weight"] == ("left out", "another shape")
    assert of_norm["norm.bias"] == ("copied", "")
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert of_norm[f"norm.{name}"] == ("left out", "goes with its layer")
    assert "norm.running_mean" not in transfer.copied


def test_batches_that_an_old_checkpoint_did_not_count_do_not_keep_the_statistics_back() -> None:
    weights = {name: tensor for name, tensor in unet(1).state_dict().items() if "num_batches" not in name}
    network = unet(2)
    transfer = plan(network, weights, parts=None)
    transfer.apply(network)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in weights.items())


def test_groups_of_channels_are_not_reshaped() -> None:
    def network(channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(channels, 4, 3, groups=channels), nn.Conv2d(4, 2, 1))

    transfer = plan(network(1), network(2).state_dict(), parts=None)
    assert kinds(transfer) == {"copied": 4}  # of two groups with a channel each, as of one with one
    two = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 2, 1))
    assert kinds(plan(two, nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 1)).state_dict(), parts=None)) == {
        "copied": 3,
        "left out": 1,
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_real_numbers_are_converted(dtype: torch.dtype) -> None:
    source, network = unet(1), unet(2, in_channels=3)
    weights = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in bits(source).items()
    }
    plan(network, weights, parts=None).apply(network)
    assert torch.equal(network.head.weight, weights["head.weight"].float())
    assert network.head.weight.dtype == torch.float32


def test_integers_are_no_weights() -> None:
    weights = unet(1).state_dict() | {"head.weight": torch.ones(2, 4, 1, 1, dtype=torch.int8)}
    transfer = plan(unet(2), weights, parts=None)
    assert "head.weight" not in transfer.copied
    assert "int8 for float32" in transfer.table()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_of_a_diverged_training_are_refused_by_name(bad: float) -> None:
    weights: dict[str, Tensor] = unet(1).state_dict()
    weights["decoder.1.up.weight"][0, 0, 0, 0] = bad
    with pytest.raises(LiverError, match=r"decoder\.1\.up\.weight has values that are not finite"):
        plan(unet(2), weights, parts=None)
    plan(unet(2), weights, parts=["encoder.*"])


def test_training_continues_from_what_was_copied() -> None:
    network = unet(2, in_channels=3, classes=1)
    plan(network, unet(1).state_dict(), parts=None).apply(network)
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert all(parameter.is_leaf and parameter.grad is not None for parameter in network.parameters())
