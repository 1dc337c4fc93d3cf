"""The places events go, a file each."""
