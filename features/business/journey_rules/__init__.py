"""What a domain file says of journeys: kinds, maps, expected ways, promises, personas, goals."""
