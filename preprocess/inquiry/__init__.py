"""What an auditor asks of finished builds: where a row comes from, how two builds differ, what is proven."""
