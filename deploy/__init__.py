"""What surrounds the services on a machine: the PBX's configuration and the servers of `make stack`."""
