"""Use cases, and the ports that adapters implement. No HTTP, no SQL, no PySyncObj here."""
