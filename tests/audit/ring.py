"""A network in which each member hears only two others; knows neither the library nor `raft/`."""

from tests.simulation.world import Network


def cut_to_a_ring(network: Network) -> None:
    """Cut every link but those to the two neighbours."""
    size = len(network.names)
    for (sender, to), link in network.links.items():
        distance = (network.names.index(sender) - network.names.index(to)) % size
        link.cut = distance not in {1, size - 1}
