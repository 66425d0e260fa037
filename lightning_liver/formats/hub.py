"""Folders for a model hub: weights as safetensors, config, model card; without code and without optimizer states."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.formats.model_card import CARD, Facts, model_card
from lightning_liver.types.tensors import Images

WEIGHTS, CONFIG = "model.safetensors", "config.json"

_USAGE = """
    liver-predict run=THIS_FOLDER input=SCAN_OR_FOLDER output=masks

or in Python:

```python
import lightning_liver

labels = lightning_liver.load_run("THIS_FOLDER").predict(volume_hu, spacing_mm)
```

The folder has no code: lightning_liver builds from it only networks of its own, of MONAI, of
segmentation_models_pytorch or of torch.
"""


def write(network: nn.Module, images: Images, document: Mapping[str, Any], folder: Path, *, facts: Facts) -> None:
    """Write the weights of a network, the config that builds it, and its card into a folder.

    Args:
        images: example input, which other formats need.

    Raises:
        LiverError: the network's state is not made of tensors.
    """
    state = network.state_dict()
    if others := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise LiverError(f"format=hub: expected a network whose state is made of tensors, not {', '.join(others)}")
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors leaves it to its owner alone
    (folder / CONFIG).write_text(json.dumps({**facts.config, "document": document}, indent=1) + "\n")
    (folder / CARD).write_text(model_card(facts, document, _USAGE))
