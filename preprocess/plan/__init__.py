"""What a configuration asks for: settings, paths, and what each result depends on."""
