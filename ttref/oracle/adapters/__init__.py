"""Ready adapters. They run where the other system is installed: `scripts/peer_env NAME`."""
