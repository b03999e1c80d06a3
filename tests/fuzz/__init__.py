"""Random rules and packets in private network namespaces: what netdash predicts against what the kernel does."""
