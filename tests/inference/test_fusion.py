import torch
from torch import nn

from lightning_liver.inference.fusion import fuse
from lightning_liver.models.unet import UNet


def test_a_fused_network_gives_the_same_logits_without_its_norms() -> None:
    torch.manual_seed(0)
    network = UNet(in_channels=1, classes=2, base_channels=4, depth=2, norm="batch", dropout=0.2)
    network(torch.randn(4, 1, 16, 16))  # statistics that are not 0 and 1
    images = torch.randn(2, 1, 32, 24)
    with torch.inference_mode():
        expected = network.eval()(images)
        made = fuse(network)(images)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert any(isinstance(part, nn.Dropout) for part in network.modules())


def test_norms_in_training_or_without_statistics_stay() -> None:
    for norm in (nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False).eval(), nn.InstanceNorm2d(2).eval()):
        row = nn.Sequential(nn.Conv2d(1, 2, 1).eval(), norm)
        assert fuse(row)[1] is norm


def test_only_a_plain_sequential_is_fused() -> None:
    class Other(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    row = Other(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    assert isinstance(fuse(row)[1], nn.BatchNorm2d)
