"""Changes of the cluster: the rules (``plan``), the leader's steps, and asking for them."""
