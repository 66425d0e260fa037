"""Python interface: load and apply a run, score masks, and train by Lightning's own Trainer."""
