package v2

// Hub marks v2 as the version that the others are converted from and to.
func (*LocustTest) Hub() {}
