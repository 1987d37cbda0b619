"""Where meter bytes enter: the processes that talk to meters."""
