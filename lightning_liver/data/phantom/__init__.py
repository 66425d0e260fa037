"""Phantoms: synthetic scans made from a seed. Configs name `lightning_liver.data.phantom.cases`."""

from lightning_liver.data.phantom.data_set import cases as cases
