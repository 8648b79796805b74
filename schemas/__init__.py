"""The vocabulary: event contracts, their codec, the bundle contract and the exception tree."""
