"""The artifact format, which lives in :mod:`hessbit.deploy.artifact` because boards load it too."""

from hessbit.deploy.artifact import FORMAT_VERSION, Artifact, TensorInfo

__all__ = ["FORMAT_VERSION", "Artifact", "TensorInfo"]
