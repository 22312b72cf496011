-- AlterTable
ALTER TABLE "jobs" ADD COLUMN     "fan_out" BOOLEAN NOT NULL DEFAULT false;
