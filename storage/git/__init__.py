"""Git, called with settings that run no foreign program."""
