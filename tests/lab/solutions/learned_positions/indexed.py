class LearnedPosition:
    def forward(self, x, places):
        return x + self.weight[places.positions]
