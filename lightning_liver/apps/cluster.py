"""liver-cluster run=outputs/2026-01-31/12-00-00 data=phantom_shifted"""

from lightning_liver.apps.main import Job, command


@command("cluster")
def main() -> Job:
    """Cluster slices by the features of a trained network, and compare with k-means on pixels."""
    from lightning_liver.commands.cluster import cluster

    return cluster


if __name__ == "__main__":
    main()
