import pytest
from omegaconf import OmegaConf

from lightning_liver.build import named_nodes
from lightning_liver.errors import LiverError


def test_nodes_of_a_group_have_their_names_and_null_leaves_one_out() -> None:
    nodes = OmegaConf.create({"ema": {"_target_": "torch.nn.Identity"}, "rate": None})
    assert list(named_nodes("callbacks", nodes)) == ["ema"]
    assert named_nodes("callbacks", None) == named_nodes("callbacks", OmegaConf.create({})) == {}


@pytest.mark.parametrize("value", [1, "ema", [1], {"decay": 0.9}])
def test_a_node_that_names_nothing_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(LiverError, match=r"callbacks\.x=.*expected null or a mapping with _target_"):
        named_nodes("callbacks", OmegaConf.create({"x": value}))
