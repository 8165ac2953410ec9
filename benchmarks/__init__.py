"""Measurements of taskd beside the floors of the same machine, measured in the same run."""
