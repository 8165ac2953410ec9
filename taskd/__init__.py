"""taskd keeps the tasks of all worktrees of a repository in one live index."""

__version__ = "0.1.0"
