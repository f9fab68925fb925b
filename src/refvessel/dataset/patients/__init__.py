"""Who is on an image: patients, pseudonyms, splits."""
