"""liver-augment-preview data=lits data.root=$HOME/lits"""

from lightning_liver.apps.main import launch


def main() -> None:
    """Draw the policies of conf/augment on a few slices, or with augment=NAME the draws of one."""
    launch("augment_preview", "lightning_liver.commands.augment_preview.preview")
