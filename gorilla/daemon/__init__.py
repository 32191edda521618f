"""The node program ``gorillad``: the one place where adapters meet their ports."""
