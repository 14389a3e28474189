package audit

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestIndexFollowsAndPublishes, TestIndexingTwiceKeepsEachEventOnce, TestP7DeadStoreHoldsUpNothing,
		TestIndexNoticesAShortenedJournal, TestSearchFilters, TestPagesCoverEverythingOnce, TestForgottenTenantsAreNotFollowed,
		TestRecordsOfAnEarlierNameAreFound, TestSlowSubscribersAreCutOff, TestTheLiveLogTellsOfAllNodes, TestTheLiveLogComesBack,
		TestWhatCameAfterAnEventIsFound,
	})
}
