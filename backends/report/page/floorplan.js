// floorplan
