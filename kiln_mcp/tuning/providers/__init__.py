"""Services that train models, one file each."""
