"""Image files: decoded, checked, freed of metadata, compared by perceptual hashes."""
