"""Augmentation policies. A new one is a class or a function here, and a yaml of its name in conf/augment."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations looks for a new version online when imported
