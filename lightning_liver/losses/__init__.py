"""Losses of logits and truth, by the families of Jadon's survey (arXiv:2006.14822, table I).

A new loss is a function in the module of its family, a yaml of its name in conf/loss, and an oracle of its name in
tests/losses/oracles*.py.

MONAI has most of them; the docstrings say where its formula differs, and the tests compare where it agrees. It is not
used: its overlap losses compute in the precision of the logits, so that 512x512 of them in float16 give NaN (Dice,
Tversky, generalised Dice and clDice of 1.6.1), and it is an optional extra.
"""
