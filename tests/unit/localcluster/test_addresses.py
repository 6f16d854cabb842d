import ipaddress

import pytest

from localcluster import addresses
from localcluster.addresses import Node
from localcluster.errors import ClusterError

ALL = [Node(number) for number in range(1, addresses.MOST_NODES + 1)]


def test_everything_is_in_the_range_that_no_real_network_has():
    whole = ipaddress.ip_network(addresses.EVERYTHING)
    for node in ALL:
        assert ipaddress.ip_address(node.address) in whole
        assert ipaddress.ip_address(node.gateway) in whole
        assert ipaddress.ip_network(node.pod_cidr).subnet_of(ipaddress.ip_network(addresses.POD_CIDR))
    assert ipaddress.ip_network(addresses.POD_CIDR).subnet_of(whole)


def test_both_ends_of_a_cable_are_in_one_network_of_four():
    for node in ALL:
        cable = ipaddress.ip_network(f"{node.gateway}/30", strict=False)
        assert ipaddress.ip_address(node.address) in cable


def test_no_two_nodes_share_an_address_or_pods():
    assert len({address for node in ALL for address in (node.address, node.gateway)}) == 2 * len(ALL)
    assert len({node.pod_cidr for node in ALL}) == len(ALL)


def test_interface_names_fit_the_kernel():
    assert all(len(node.cable) <= 15 for node in ALL)


def test_the_api_service_is_the_first_service_address():
    assert str(ipaddress.ip_network(addresses.SERVICE_CIDR)[1]) == addresses.API_SERVICE


def test_a_name_leads_back_to_its_node():
    assert [addresses.node(node.name) for node in ALL] == ALL


@pytest.mark.parametrize("name", ["", "node", "node0", "node10", "nodeX", "1", "worker1"])
def test_a_name_that_no_node_has_is_refused_with_the_names_there_are(name):
    with pytest.raises(ClusterError, match="node1 to node9"):
        addresses.node(name)
