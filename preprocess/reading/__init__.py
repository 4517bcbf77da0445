"""Reading raw files as they are: containers, pictures, volumes, DICOM series."""
