import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations looks for a new version online when imported
