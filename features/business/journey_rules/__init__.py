"""Rules of journeys in a domain file: kinds, maps, expected ways, promises, personas, goals."""
